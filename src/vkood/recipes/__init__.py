"""Recipes: functions that return one complete, typed run each."""
