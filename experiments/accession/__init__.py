"""Who brings what to an alliance: the marginal value of each country, and who should join next."""
