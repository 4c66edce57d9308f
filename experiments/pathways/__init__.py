"""Pathways: dependence over the years, by demand and ambition, held against milestones."""
