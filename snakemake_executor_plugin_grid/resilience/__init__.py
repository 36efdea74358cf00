"""How a run survives outages, full disks, expired credentials, and faulty sites."""
