"""Conversations: messages to token ids, and a reply's ids back to text and calls."""
