"""Layer 5: deployments and access control."""
