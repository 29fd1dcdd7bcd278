"""Splitwise: `technique` splits an engine into pools, `fleet` says what a cluster sustains (`rates`: at which
slow-downs), `search` finds the best one, `provisioning` and `log` do it for a reader, `paper` has the claims."""
