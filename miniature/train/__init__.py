"""Training of the miniature models; nothing else imports it."""
