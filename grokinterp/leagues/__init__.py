"""Progress measures judged: how early they warn of grokking, and how often without cause."""

from grokinterp.leagues.baselines import BASELINES
from grokinterp.leagues.league import League, judge_curves, league
from grokinterp.leagues.others import curves_of_grid
from grokinterp.leagues.scores import WatchedCurve

__all__ = ["BASELINES", "League", "WatchedCurve", "curves_of_grid", "judge_curves", "league"]
