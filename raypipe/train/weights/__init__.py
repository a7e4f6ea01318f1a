"""Weights beside the ordinary: adapters, exports."""
