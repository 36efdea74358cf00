"""How a run gets through outages, full disks, expired credentials, and bad sites."""
