"""How the shipped models were made. Needs torch and a folder of data; the service needs neither."""
