"""What an attestation catches, and what forgetting costs and leaves: proof.json."""
