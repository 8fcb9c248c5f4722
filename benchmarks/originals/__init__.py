"""The systems that Tercet comes from, run beside it by benchmarks: their packages, layouts, stand-ins."""
