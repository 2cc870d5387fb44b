"""Stage `mix`: weigh sources, add curriculum and canaries."""
