"""The DIRAC backend: jobs on EGI, LHCb, Belle II, CTAO, JUNO and other installations of DIRAC."""
