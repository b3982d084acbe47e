"""Who is let in to the page: which names it has, which sites may send to it, who logs in, and how much is taken."""
