"""Recipes: functions that return one complete, typed run each."""

from vkood.recipes.easy_vqa import ARMS, Arm, EasyVqaRun, easy_vqa

__all__ = ["ARMS", "Arm", "EasyVqaRun", "easy_vqa"]
