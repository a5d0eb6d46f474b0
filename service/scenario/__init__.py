"""Scenario folders: symbols, groups, accounts, orders and ticks as CSV files."""
