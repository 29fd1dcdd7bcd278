"""POLCA: `policy` has its thresholds and those of its rivals, `rows` a row of servers, `replay` a reader's series of
power, `technique` what it does to a scenario, `paper` the claims."""
