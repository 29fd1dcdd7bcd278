"""ETS: `paper` holds technique and claims, `trees` grows and prunes the search trees."""
