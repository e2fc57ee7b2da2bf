"""The live page: a run's report, served to a browser while the run goes on."""
