"""The parts a process is wired of: what all have, engines, a gateway, a feed.

Which of them a process has is its role's to say (`service.app`).
"""
