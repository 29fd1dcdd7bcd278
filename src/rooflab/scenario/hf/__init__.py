"""Reading a Hugging Face config.json: typed access, families, layers, number formats. Entry:
`rooflab.scenario.hf.model`."""
