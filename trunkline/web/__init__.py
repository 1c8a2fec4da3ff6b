"""What a worker serves over HTTP: status, publishing, notifications."""
