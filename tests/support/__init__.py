"""What tests share: servers, processes, faults, builders and waiting; no test lives here."""
