"""The specimen of docs/specimen: another trainer's model answered for, made by one command and compared by CI."""
