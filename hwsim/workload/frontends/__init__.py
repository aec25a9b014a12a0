"""Front ends: from files to workloads, one format each."""
