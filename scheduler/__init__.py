"""The six verbs, observe, solve, plan, check, commit and execute, and what drives them."""
