"""`make bench`: our whole command against what operators write instead, on fleet hosts, in one run."""
