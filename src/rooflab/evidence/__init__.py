"""Predicted against measured, fitting constants to rows, intervals and verdicts, auditing claims."""
