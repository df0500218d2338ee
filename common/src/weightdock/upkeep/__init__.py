"""Looking after what is stored: :mod:`check` it, show its :mod:`status`, :mod:`prune` what nothing reaches."""
