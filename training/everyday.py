"""Ordinary questions, written for this project: what the data lacks.

Nearly every short question in the data asks for harm, so a model would learn that short questions do. These are short
questions and requests that do not, many in the very words of those that do ("kill", "shoot", "past tense" phrasing),
put together from parts. They teach `attack`, `harmful`, `hate`, `toxic` and `sexist` 0.
"""

from __future__ import annotations

import random

ASK = (
    "How do I {}?",
    "How can I {}?",
    "how to {}",
    "What is the best way to {}?",
    "What's a good way to {}?",
    "Can you tell me how to {}?",
    "Can you help me {}?",
    "Please explain how to {}.",
    "I want to {}. Where do I start?",
    "I need to {} and have never done it before.",
    "What do I need to {}?",
    "Give me step-by-step instructions to {}.",
    "What are some tips to {}?",
    "Is it hard to {}?",
    "Is it legal to {}?",
    "How long does it take to {}?",
    "Write a short guide on how to {}.",
    "My friend wants to {}. What should I tell them?",
    "Should I {}?",
    "What tools do I need to {}?",
    "Could you list a few ways to {}?",
    "I'm trying to {} but it isn't working",
    "How did people {} in the past?",
    "How will people {} in the future?",
)
_MAKE = (
    "a birthday cake", "pancakes", "chicken soup", "a fruit salad", "ice cream", "lemonade", "a paper crown", "candles",
    "a scarf", "a bird house", "a photo album", "a budget", "a family tree", "jam", "yoghurt", "a lava lamp", "curry",
    "a snow globe", "a simple website", "a to-do list", "a gingerbread house", "pasta", "bread", "a healthy lunch",
    "a wooden table", "a Halloween costume", "a greeting card", "hot chocolate", "a playlist", "a flower bed",
    "pickles",
)  # fmt: skip
HOW = (
    "how to make {} at home", "How do you make {}?", "How can I make {} without an oven?", "How to create {} quickly",
    "What do I need to make {}?", "Give me a recipe or instructions for {}.", "Where can I buy {}?", "How is {} made?",
    "How did people make {} in the past?", "Show me how to build or make {}.", "can I use honey to make {}?",
    "How will people make {} in the future?", "What is the cheapest way to make {}?", "how to use {} for a party",
)  # fmt: skip
_DO = (
    "bake sourdough bread", "clean a cast iron pan", "change a flat tyre", "grow tomatoes on a balcony",
    "learn Spanish quickly", "train for a marathon", "write a cover letter", "ask my boss for a raise",
    "make friends in a new city", "teach my dog to sit", "remove a wine stain", "fix a leaking tap",
    "save money for a house", "choose a laptop for college", "cook rice without it sticking",
    "prepare for a job interview", "get my driver's licence", "apply for a passport", "build a bookshelf",
    "knit a scarf", "sleep better at night", "stop my baby from crying", "get over a breakup",
    "cheer up a friend who is sad", "tell my parents I failed an exam", "apologise to my sister",
    "sell my old car", "find cheap flights", "plan a birthday party for a five-year-old", "paint a bedroom",
    "unclog a sink", "brew better coffee", "make pizza dough", "start a vegetable garden", "take care of a cactus",
    "adopt a cat", "learn to swim as an adult", "play chess better", "tune a guitar", "record a podcast",
    "sort a list in Python", "centre a div in CSS", "merge two branches in git", "write a SQL join",
    "set up a firewall on my home network", "choose a strong password", "recover my own forgotten password",
    "encrypt my backups", "check whether an email is a phishing attempt", "scan my own server for open ports",
    "explain SQL injection to junior developers", "write unit tests for a login form", "parse JSON in Java",
    "kill a process that hangs on Linux", "kill weeds in my lawn without chemicals", "kill time at the airport",
    "shoot a portrait in low light", "shoot a basketball better", "blow up a balloon arch", "blow out candles safely",
    "beat my brother at chess", "beat egg whites until stiff", "crack an egg with one hand", "crack a walnut",
    "break into the film industry", "break in new boots", "steal second base in softball", "steal the show at karaoke",
    "hack together a birthday costume", "bomb-proof a horse for riding lessons", "dodge a penalty in a football game",
    "get away from work for a weekend", "attack a hard maths problem", "execute a shell script at midnight",
    "terminate a thread in C", "drop a table I created by mistake", "inject a dependency in Spring",
    "smoke a brisket", "cut a mango", "burn calories without running", "poison-proof my house for a toddler",
    "hide wires behind a television", "hide a surprise present from my wife", "follow someone on a photo app",
    "track my own phone", "track a parcel", "make my own soap", "make a paper plane", "make slime with the kids",
    "make a volcano for a science fair", "keep a knife sharp", "whittle a spoon", "clean a gun safe's lock",
    "store medicines safely away from children", "talk to my teenager about drugs", "support a friend with depression",
    "report a scam to the police", "protect my identity online", "dispute a charge on my credit card",
    "file my taxes on time", "write a will", "talk to a lawyer about a divorce", "spot fake news",
    "explain to a child why racism is wrong", "help a colleague who is bullied", "volunteer at a women's shelter",
    "lose ten pounds healthily", "lower my blood pressure", "treat a mild sunburn", "get rid of hiccups",
    "catch a fish", "catch mice without hurting them", "pick a lock that I own as a hobby", "pick ripe strawberries",
    "throw a good party", "launch a kite", "launch a small business", "raid the fridge for a quick dinner",
)  # fmt: skip
_ABOUT = (
    "What is {}?", "Tell me about {}.", "Explain {} in simple terms.", "Who invented {}?", "Why is {} important?",
    "What is the history of {}?", "Give me three facts about {}.", "Write a poem about {}.", "what's the deal with {}",
    "I have a question about {}.", "How does {} work?", "How did {} begin?", "Summarise {} for a ten-year-old.",
    "Write a short story that involves {}.", "What books can I read about {}?", "What do people think of {}?",
    "Why do people like {}?", "Is {} safe?", "What are the pros and cons of {}?", "Translate 'I like {}' into French.",
    "Write a blog post about {}.", "Can we talk about {}?", "I was thinking about {} today.",
    "How was {} done in the past?",
)  # fmt: skip
_THING = (
    "photosynthesis", "the moon landing", "black holes", "the French Revolution", "jazz", "the stock market", "yoga",
    "machine learning", "public transport", "the water cycle", "renewable energy", "Shakespeare", "sushi",
    "vaccination",
    "the Roman Empire", "football", "ballet", "the printing press", "the human heart", "tides", "honey bees",
    "women's suffrage", "the civil rights movement", "Islam", "Judaism", "Buddhism", "Christianity", "Mexican food",
    "Chinese New Year", "African literature", "the Holocaust memorial", "gay marriage law", "disability benefits",
    "immigration law", "feminism", "gender equality at work", "the Cold War", "nuclear power plants", "chemotherapy",
    "gun control laws", "the death penalty debate", "cyber security", "two-factor authentication", "forensic science",
    "a detective who solves a murder", "a heist in a fantasy city", "a war between two kingdoms", "a haunted house",
    "a dragon that guards stolen gold", "a spy who retires", "a villain with a change of heart", "crash test dummies",
    "fireworks on New Year's Eve", "volcanoes", "predators in the savannah", "venomous snakes", "antibiotics",
    "mountain rescue", "bread", "coffee", "home insurance", "mortgages", "retirement savings", "mental health",
    "Turkish tea", "train travel", "the tax system", "climate change", "robots", "dinosaurs", "chess", "pottery",
    "the Olympic Games", "online dating", "breastfeeding", "pregnancy", "puberty", "sex education in schools",
)  # fmt: skip
_STUDY = (
    "What are the main causes of {0}?", "What are the benefits and drawbacks of {0}?", "How has {0} changed {1}?",
    "What are some potential applications of {0} in {1}?", "Discuss the impact of {0} on {1}. Give two examples.",
    "How might {0} affect {1} in the future, and what can be done about it?", "Compare {0} with {1}.",
    "What is the difference between {0} and {1}?", "What is the relationship between {0} and {1}?",
    "How can companies use {0} to improve {1}?", "How can teachers use {0} in class?", "What if {0} had never existed?",
    "Is it ethical to use {0} in {1}? What are the arguments for and against?", "Who first described {0}, and when?",
    "What strategies help a team to deal with {0}?", "What methods do researchers use to study {0}?",
    "What are the ethical issues around {0}?", "Write a persuasive essay about {0} and {1}.", "Define {0}.",
    "What are the symptoms and treatments of {2}?", "How would you diagnose {2}?", "What are the signs of {2}?",
    "Can you provide a detailed plan for a project about {0}?", "What are some techniques to measure {0}?",
    "What role does {0} play in {1}?", "What did people think of {0} a hundred years ago?", "What is meant by {0}?",
    "How did {0} develop after the war, and how did it influence {1}?", "Which country leads in {0}?",
    "What would happen if a single company controlled {0}?", "Outline a lesson plan on {0} for beginners.",
    "As a student you may wonder how {0} is changing {1}. What would you answer?", "Describe the significance of {0}.",
    "How is {0} calculated?", "How can you tell whether {0} is working well?", "What are three myths about {0}?",
    "What can individuals do to support {0}?", "How can a government regulate {0} without harming {1}?",
    "What skills do I need for a career in {1}?", "Can you share some resources on {0}?", "Are there any risks in {0}?",
    "How can I use {3} to {4}?", "How do I {4} in {3}?", "What is the most efficient way to {4} with {3}?",
    "Is there a simple way to {4} in {3}?", "Can you explain how {3} works when I {4}?", "{3}: how to {4}?",
)  # fmt: skip
_TOPIC = (
    "blockchain", "quantum computing", "gene therapy", "artificial intelligence", "5G networks", "virtual reality",
    "urban gardening", "behavioural economics", "inflation", "globalisation", "deforestation", "ocean acidification",
    "the Industrial Revolution", "the Black Death", "the fall of the Berlin Wall", "Impressionism", "Greek tragedy",
    "utilitarianism", "existentialism", "the scientific method", "statistical sampling", "game theory", "peer review",
    "animal testing", "animal welfare", "social media", "remote work", "standardised tests", "bilingual education",
    "public libraries", "electric cars", "high-speed rail", "wind farms", "nuclear fusion", "space tourism",
    "microplastics", "food labels", "school uniforms", "universal basic income", "minimum wages", "trade unions",
    "microfinance", "supply chains", "customer loyalty", "brand design", "agile development", "code review",
    "open source", "encryption", "data privacy", "facial recognition", "autonomous drones", "3D printing",
    "robotics",
    "organ donation", "telemedicine", "sleep", "meditation", "strength training", "intermittent fasting",
    "gut bacteria",
    "child development", "collective memory", "migration", "propaganda in the 1930s", "censorship", "the slave trade",
    "the abolition of slavery", "colonialism", "the Cuban missile crisis", "prison reform", "witness protection",
    "money laundering law", "consumer protection", "copyright", "jury trials", "voting systems", "fact-checking",
    "acid rain", "oxidation", "enzymes", "plate tectonics", "gravity", "superconductors", "prime numbers", "entropy",
    "linear regression", "neural networks", "dreams", "folk music", "haiku", "film noir", "graphic novels", "opera",
    "slow cooking", "cheese making", "beekeeping", "tourism", "volunteering", "public speaking", "body language",
)  # fmt: skip
_FIELD = (
    "health care", "the job market", "education", "the energy industry", "small businesses", "agriculture", "tourism",
    "rural communities", "family life", "modern art", "journalism", "law enforcement", "banking", "sports", "logistics",
    "the entertainment industry", "city planning", "scientific research", "the environment", "young people", "nursing",
    "software engineering", "public administration", "marketing", "manufacturing", "the legal system", "architecture",
)  # fmt: skip
_ILLNESS = (
    "appendicitis", "type 2 diabetes", "asthma", "migraine", "anaemia", "a torn ligament", "eczema", "depression",
    "food poisoning", "high blood pressure", "hay fever", "insomnia", "shingles", "gout", "a concussion", "measles",
)  # fmt: skip
_TOOL = (
    "Python", "SQL", "Excel", "JavaScript", "C++", "Rust", "bash", "LaTeX", "pandas", "React", "Docker", "git", "Java",
    "Kubernetes", "Photoshop", "Blender", "R", "Google Sheets", "Swift", "a regular expression", "Terraform", "Word",
)  # fmt: skip
_TASK = (
    "sort rows by date", "find the last record of each group", "split a file into parts", "draw a histogram",
    "rename many files at once", "remove duplicates", "read a CSV file", "test a function", "call a REST API",
    "format a table", "count words", "reverse a string", "schedule a job", "resize images", "validate an email address",
    "connect to a database", "merge two lists", "measure memory use", "catch an exception", "log in with a token",
    "store passwords safely", "kill a child process", "debug a crash", "detect an attack in a log file",
)  # fmt: skip
_WRITE = (
    "Write an e-mail to {} about {}.", "Draft a letter to {} about {}.", "Help me tell {} about {}.",
    "Write a short speech for {} on {}.", "I need a polite message to {} because of {}.", "Make a poster for {}: {}.",
    "Write a dialogue between me and {} about {}.", "Write a scene in which {} learns about {}.",
)  # fmt: skip
_WHOM = (
    "my landlord", "my teacher", "a customer", "my boss", "the city council", "my grandmother", "a new colleague",
    "my football team", "a hiring manager", "my neighbours", "our investors", "my best friend", "the school board",
)  # fmt: skip
_SMALL = (
    "hi", "hello", "Hello, how are you?", "thanks", "Thank you so much!", "ok", "yes", "no", "Yes please.", "sure",
    "that makes sense", "I don't understand", "can you explain that again?", "go on", "continue", "tell me more",
    "what else?", "why?", "are you sure?", "that's great, thanks", "lol", "haha nice", "sounds good to me",
    "What time is it?", "good morning", "see you later", "I'm bored", "tell me a joke", "test", "What can you do?",
    "Make it shorter.", "Rewrite this in a formal tone.", "Translate it into German.", "Give me an example.",
    "What do you mean by that?", "I like that one.", "Could you add a table?", "Fix the grammar.", "Thanks, bye!",
    "I had a great day with my family.", "My dog is so cute.", "I'm tired and want to go to bed.", "",
    "The meeting has moved to Thursday at three.", "Here is the report that you asked for.", "Where are you from?",
    "She is a brilliant engineer.", "My wife and I are expecting a baby girl!", "He was very kind to me.",
    "I love my grandmother's cooking.", "I don't agree with you, but I see your point.", "That film was terrible.",
    "This phone is rubbish and I want my money back.", "Damn, that was a good game!", "I'm so mad at my printer.",
)  # fmt: skip
_BEFORE = ("", "", "", "", "Hi! ", "Hello, ", "please ", "Quick question: ", "Hey, ", "I'm new here. ", "ok so ")
_AFTER = ("", "", "", "", " Thanks!", " Thank you.", " Please be brief.", " I live in a small town.", " any ideas?")


def ordinary(rng: random.Random) -> str:
    """One ordinary question, request or remark."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(_SMALL)
    if kind < 0.18:
        core = rng.choice(HOW).format(rng.choice(_MAKE))
    elif kind < 0.4:
        core = rng.choice(ASK).format(rng.choice(_DO))
    elif kind < 0.6:
        core = rng.choice(_ABOUT).format(rng.choice(_THING + _TOPIC))
    elif kind < 0.9:
        core = " ".join(_studied(rng) for _ in range(rng.choice((1, 1, 2, 3))))
    else:
        core = rng.choice(_WRITE).format(rng.choice(_WHOM), rng.choice(_THING + _TOPIC))
    text = rng.choice(_BEFORE) + core + rng.choice(_AFTER)
    return text.lower() if rng.random() < 0.2 else text


def _studied(rng: random.Random) -> str:
    words = (rng.choice(part) for part in (_TOPIC + _THING, _FIELD, _ILLNESS, _TOOL, _TASK))
    text = rng.choice(_STUDY).format(*words)
    return text[:1].upper() + text[1:]
