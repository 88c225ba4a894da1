"""Phones in virtual time: who is awake, who is asked, who answers."""
