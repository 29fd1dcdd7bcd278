"""The feed: cards of papers, listed by day, kind and resource saved, and searched."""
