"""Facts as data files, with a source per figure: devices, links, hosts, prices, grid carbon, models, engines."""
