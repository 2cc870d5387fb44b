"""Layer 5: deployments, access control, the endpoint of a chat model."""
