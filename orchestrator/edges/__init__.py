"""Where the outside world is touched: git, artifact repositories, ansible-runner, the ledger."""
