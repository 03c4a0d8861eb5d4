"""Looks into what a stopped hostd has left, and saves what a broken ledger still holds."""
