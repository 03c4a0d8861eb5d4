"""Where plugin code runs: processes forked from a zygote, spoken to over a socket pair."""
