"""Servers of the S3 API: how they are addressed and waited for, and what their refusals mean."""
