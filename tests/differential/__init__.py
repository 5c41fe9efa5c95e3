"""Tests that ask SQLite and PostgreSQL the same question and compare the answers bit for bit."""
