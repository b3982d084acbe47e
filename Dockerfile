# GLM-4 on Intel CPUs: glm4-intel with everything that it needs. Models and conversations are kept in /data.
#   docker build -t glm4-intel .
#   docker run -it -v glm4:/data glm4-intel chat nano
FROM python:3.11-slim

WORKDIR /glm4-intel
COPY requirements.txt ./
# the CPU's build of PyTorch first; the project itself is the last line of requirements.txt, and comes below
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
    && grep -v "^-e" requirements.txt > packages.txt && pip install --no-cache-dir -r packages.txt
COPY . .
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home glm4 && mkdir /data && chown glm4 /data

USER glm4
WORKDIR /data
ENV GLM4_DATA=/data GLM4_CACHE=/data/cache HF_HOME=/data/huggingface
VOLUME /data
EXPOSE 7860
ENTRYPOINT ["glm4-intel"]
CMD ["demo"]
