"""Who may do what over HTTP, on every worker: token, sessions, hosts, headers, masked fields."""
