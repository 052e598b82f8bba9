"""Parameters on disk: model directories, training states and the published torch files."""
