"""What an attestation catches, what a check by segments finds, and what forgetting costs and leaves: proof.json."""
