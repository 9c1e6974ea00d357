"""The fit of one subject: search, choice by validation, test, and what is known of the result."""
