"""The command line: reads arguments, calls the workflow, renders results and errors."""
