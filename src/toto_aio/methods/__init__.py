"""The methods that come with toto_aio. Import them into your own package to serve them from there."""
