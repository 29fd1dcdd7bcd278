"""What must be resident on each device, and how many sequences the rest holds.

It knows operators and formats; it knows no time.
Start with `account.account`; `explain` says why something does not fit and what would.
"""
