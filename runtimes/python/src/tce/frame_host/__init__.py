"""Runs the functions of one service package for an agent of the work frame.

An agent starts it: `python3 -m tce.frame_host --package FOLDER --base NAME --functions add,minus`.
"""
