"""Splitwise: `technique` splits an engine into pools, `handover` says what moving a cache costs, `fleet` what a cluster
sustains (`rates`: at which slow-downs), `search` finds the best one, `budgets`, `provisioning` and `log` do it for a
reader, `paper` has the claims."""
