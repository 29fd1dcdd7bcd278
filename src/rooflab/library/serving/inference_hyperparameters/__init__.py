"""Hyper-parameters of inference: `paper` holds technique, methods and claims, `landscape` searches, `engines` prices
landscapes, `measured` reads a reader's own."""
