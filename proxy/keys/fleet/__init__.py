"""Which keyring the processes of a deployment use, agreed over the store."""
